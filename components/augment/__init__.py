"""What is done to training data before it is learnt from: noise, dropped attributes, mined negatives."""
