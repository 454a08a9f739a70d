"""Backups: one encrypted file with the ledger, the keystore and the settings, and the way back."""
