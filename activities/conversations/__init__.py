"""Where conversations lie between model calls: content by its digest. It may be lost; workflows supply it again.

The reply of a model lies here once more by its call, as long as the rest. Lost before the workflow has it, it is asked
for again."""

from activities.conversations.sqlite import SqliteConversations
from activities.conversations.store import ConversationStore, ConversationsUnavailable, OpenedStore

__all__ = ["ConversationStore", "ConversationsUnavailable", "OpenedStore", "SqliteConversations"]
