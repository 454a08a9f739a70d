"""`waiaas doctor`: all that a puzzled operator would ask about, and how to mend what is wrong."""
