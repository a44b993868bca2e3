"""The networks that teacher and student are compared with, and the parts that some of them share."""
