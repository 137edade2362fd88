"""Reading and writing: artifacts, whole files and YAML."""
