"""What a dream is evidence of: controls, localisation and what goes on inside the decoder."""
