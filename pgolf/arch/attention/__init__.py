"""Options of the config group arch/attention: each is a kernel (contract: ``base``) in the one layer of ``layer``."""
