"""Telling people what a run wants of them: by webhook, by mail, by Slack; each once."""
