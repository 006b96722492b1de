"""How does a corpus get labels, and what are they worth? Labels of people, what to label next, the learning curve."""
