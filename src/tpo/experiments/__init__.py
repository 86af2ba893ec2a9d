"""`tpo experiment`: methods, models and seeds on one set of queries, and a report that compares them."""
