"""The packed model file, its container format and its byte ledger."""
