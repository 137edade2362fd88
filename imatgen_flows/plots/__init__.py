"""Interactive plots: functions of tables and plain data that return a Plotly figure; `Run.plot` and the report use them."""
