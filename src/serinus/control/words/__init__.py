"""The words that people read, in English and Korean: phrases, numbers, whole sentences."""
