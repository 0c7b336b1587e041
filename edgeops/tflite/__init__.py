"""``.tflite`` files as plain values, read with bounds: what targets, training and the compiler have in common."""
