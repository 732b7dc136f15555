"""pgolf: certified parameter-golf experiments."""
