"""The board that workers and operators share: beside the conversations, in the same kind of store."""
