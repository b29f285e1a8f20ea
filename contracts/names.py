"""Names that outside programs rely on."""

from typing import Final

from temporalio.common import SearchAttributeKey

PROCESS_WORKFLOW: Final = "Process"
AGENT_WORKFLOW: Final = "Agent"
TASK_QUEUE: Final = "surefoot"

VIEW_QUERY: Final = "view"
DECIDE: Final = "decide"
REPAIR: Final = "repair"
PREVIEW_QUERY: Final = "preview"
"""Of a repair: what it would change, or why it does not hold."""
CANCEL: Final = "cancel"
MIGRATE: Final = "migrate"
PUT_STATE: Final = "put_state"
STATE_QUERY: Final = "state"
SNAPSHOT_QUERY: Final = "snapshot"
RECEIPT_QUERY: Final = "receipt"
"""By the id of a decision, repair or cancel: what the run answered to it; null when it has not taken it."""
LOG_QUERY: Final = "log"
ASKED_TOO_EARLY: Final = "something has happened that this run's worker has not taken in yet; ask again in a moment"
"""What a query fails with then."""
EVENT_SIGNAL: Final = "event"
LEASE_SIGNAL: Final = "lease"
"""To a run from an agent that needs more of its budgets, and back with the answer."""
ASK_SIGNAL: Final = "ask"
ANSWER_SIGNAL: Final = "answer"
WITHDRAW_SIGNAL: Final = "withdraw"

TOPIC_WORKFLOW: Final = "Topic"
PUBLISH: Final = "publish"
SUBSCRIBE: Final = "subscribe"
UNSUBSCRIBE: Final = "unsubscribe"

PROCESS_ATTRIBUTE: Final = SearchAttributeKey.for_keyword("SurefootProcess")
STATUS_ATTRIBUTE: Final = SearchAttributeKey.for_keyword("SurefootStatus")
WAITS_FOR_ATTRIBUTE: Final = SearchAttributeKey.for_keyword_list("SurefootWaitsFor")
SEARCH_ATTRIBUTES: Final = (PROCESS_ATTRIBUTE, STATUS_ATTRIBUTE, WAITS_FOR_ATTRIBUTE)

REPORTED_ATTRIBUTE: Final = SearchAttributeKey.for_keyword_list("TemporalReportedProblems")
"""Temporal's own: a run has it once five tries of its workflow task have failed, until one holds."""

OPERATOR: Final = "operator"
"""What `SurefootWaitsFor` holds for a run with an incident."""
