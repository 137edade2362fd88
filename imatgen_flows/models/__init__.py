"""Neural networks of crystals: image autoencoders, the VAE and its prior; training, sampling and model files."""
