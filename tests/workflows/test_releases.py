"""Workers of several builds on one queue: a run stays on the build it began on, and changes it when it continues."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from contracts.errors import CallerError
from contracts.events import Subscription, TopicState, topic_workflow_id
from contracts.migration import Migration
from contracts.names import MIGRATE, PROCESS_WORKFLOW, SEARCH_ATTRIBUTES, TOPIC_WORKFLOW
from contracts.run import RunRequest
from runtime.client import data_converter
from runtime.deployments import Deployments
from runtime.release import build_id_of, deployment
from runtime.server import server_options, temporal_binary
from runtime.settings import Settings
from tests.workflows.office import Office, Run, open_office
from workflows.registered import RELEASED_WORKFLOWS
