"""The systems that HBAF is compared with, on the same batches; torch and the batch contract only."""
