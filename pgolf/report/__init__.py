"""What runs come to together: seeds, statistics, tables, published logs, the record folder."""
