"""Where conversations lie between model calls: content by its digest. It may be lost; workflows supply it again."""

from activities.conversations.sqlite import SqliteConversations
from activities.conversations.store import ConversationStore, ConversationsUnavailable, OpenedStore

__all__ = ["ConversationStore", "ConversationsUnavailable", "OpenedStore", "SqliteConversations"]
