"""A process file becomes a definition with complete needs, or every mistake in it at its place."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import DefinitionInvalid
from contracts.process import GroupStep
from contracts.run import Definition
from contracts.tools import ToolSpec
from language.load import load_process
from language.names import walk

WHOLE_FILE = Path(__file__).with_name("whole_file.yaml")


def spec(name: str, required: str = "", check: str | None = None) -> ToolSpec:
    """A tool whose arguments are all text, but for `amount`; one that takes anything when none are named."""
    names = required.split()
    types = {argument: {"type": "number" if argument == "amount" else "string"} for argument in names}
    properties = types or {"x": {}, "y": {}}
    parameters = {"type": "object", "properties": properties, "required": names, "additionalProperties": False}
    return ToolSpec(name=name, parameters=parameters, check=check)


TOOLS = {
    made.name: made
    for made in (
        spec("a.b"),
        spec("erp.read_order", "supplier invoice"),
        spec("bank.transfer", "to amount", check="bank.find"),
        spec("bank.find", "to amount"),
        spec("bank.reverse", "transfer"),
        spec("mail.send", "to body"),
    )
}


def load(text: str) -> Definition:
    return load_process(text, "f.yaml", tools=TOOLS, processes=["sub"])


def mistakes(text: str) -> list[str]:
    with pytest.raises(DefinitionInvalid) as raised:
        load(text)
    return [str(problem) for problem in raised.value.problems]


def steps(*lines: str) -> str:
    return "\n".join(("process: p", "steps:", *(f"  {line}" for line in lines), ""))


def test_a_wait_until_a_moment_is_text_or_an_expression() -> None:
    load(steps('a: {wait: {until: "2026-12-01T09:00:00Z"}}', 'b: {wait: {until: "${ input.at }"}}'))


def test_the_format_pages_whole_file_loads_as_it_is() -> None:
    definition = load(WHOLE_FILE.read_text())
    needs = {name: step.needs for name, step in definition.process.steps.items()}
    assert needs == {
        "order": (),
        "audit": ("order",),
        "sign_off": ("audit",),
        "pay": ("sign_off",),
        "notify": ("pay",),
    }
    assert set(definition.tools) == {"erp.read_order", "bank.transfer", "bank.find", "bank.reverse", "mail.send"}


MISTAKES = {
    "an unknown key": (
        steps("a: {tool: a.b, wth: {}}"),
        "f.yaml:3:18: unknown key `wth` (did you mean `with`?)",
    ),
    "an unknown key further in": (
        steps("a: {tool: a.b, retry: {attempt: 1}}"),
        "f.yaml:3:26: unknown key `attempt` (did you mean `attempts`?)",
    ),
    "no kind": (
        steps("a: {with: {}}"),
        "f.yaml:3:3: step `a` does not say what it does "
        "(give it one of tool, agent, goal, steps, process, approval, event, wait, state, emit)",
    ),
    "two kinds": (
        steps("a: {tool: a.b, wait: 1s}"),
        "f.yaml:3:3: step `a` has `tool` and `wait` "
        "(a step is exactly one of tool, agent, goal, steps, process, approval, event, wait, state, emit)",
    ),
    "no step at all": (
        steps("a: 5"),
        "f.yaml:3:6: step `a` is no mapping (write what it does, such as `tool: name`)",
    ),
    "a repeat without an end": (
        steps("a: {tool: a.b, repeat: {max: 3}}"),
        "f.yaml:3:26: `until` is missing (add it)",
    ),
    "a join of more needs than there are": (
        steps("a: {tool: a.b}", "b: {tool: a.b, needs: [a], join: 2}"),
        "f.yaml:4:36: `join` is 2, but there are 1 needs (write at most 1)",
    ),
    "a join of nothing": (
        steps("a: {tool: a.b, join: any}"),
        "f.yaml:3:24: `join` says how many needs must settle, and the step has none (add `needs`)",
    ),
    "a join that is no number": (
        steps("a: {tool: a.b}", "b: {tool: a.b, needs: [a], join: some}"),
        "f.yaml:4:36: `join` is 'some' (write all, any or how many needs)",
    ),
    "a rest to cancel after all": (
        steps("a: {tool: a.b}", "b: {tool: a.b, needs: [a], cancel_rest: true}"),
        "f.yaml:4:6: cancel_rest goes with `join: any` or a number: after all needs there is no rest",
    ),
    "a fallback that is nowhere": (
        steps("a: {tool: a.b, on_failure: {fallback: c}}", "b: {tool: a.b}"),
        "f.yaml:3:41: there is no step `c` beside this one (there are: b)",
    ),
    "a fallback of two": (
        steps(
            "a: {tool: a.b, on_failure: {fallback: c}}", "b: {tool: a.b, on_failure: {fallback: c}}", "c: {tool: a.b}"
        ),
        "f.yaml:4:41: `c` is the fallback of `a` already (give each step a fallback of its own)",
    ),
    "a fallback that needs what it stands in for": (
        steps("a: {tool: a.b, on_failure: {fallback: b}}", "b: {tool: a.b, needs: [a]}"),
        "f.yaml:4:26: the needs go in a circle: a -> b -> a (remove one of these needs)",
    ),
    "state that nothing writes": (
        steps("a: {state: {key: total, add: 1}}", 'b: {tool: a.b, when: "${ state.totl > 1 }"}'),
        "f.yaml:4:28: nothing writes `state.totl` (declare it under `state`, or write it in a step; "
        "did you mean `total`?)",
    ),
    "two writes at once": (
        steps("a: {state: {key: total, add: 1, set: 2}}"),
        "f.yaml:3:14: write exactly one of set, merge, append and add",
    ),
    "a first value that does not fit": (
        "process: p\nstate: {n: {schema: {type: integer}, initial: x}}\n" + steps("a: {tool: a.b}").partition("\n")[2],
        'f.yaml:2:47: the first value of `n` does not fit: "x" is not of type "integer"',
    ),
    "a schedule that is none": (
        "process: p\non: [{schedule: 0 25 * * *}]\n" + steps("a: {tool: a.b}").partition("\n")[2],
        "f.yaml:2:17: `0 25 * * *` is no schedule: bad hour "
        "(write minute hour day month weekday, such as 0 9 * * MON-FRI, or @daily)",
    ),
    "a trigger of no kind": (
        "process: p\non: [{topic: a}]\n" + steps("a: {tool: a.b}").partition("\n")[2],
        "f.yaml:2:6: on[0] does not say what it does (give it one of event, schedule, webhook)",
    ),
    "a match of what is not there": (
        steps('a: {event: t, match: "${ evnt.id == 1 }"}'),
        "f.yaml:3:28: unknown name `evnt` (in scope here: event, input, run, steps; text goes in quotes inside ${ })",
    ),
    "an event outside a match": (
        steps("a: {event: t}", 'b: {tool: a.b, when: "${ event.id == 1 }"}'),
        "f.yaml:4:28: unknown name `event` (it is there in match only, and in `on`)",
    ),
    "a wait longer than calendars go": (
        steps("a: {wait: 3000000d}"),
        "f.yaml:3:13: '3000000d' is longer than 36500 days",
    ),
    "items that are a mapping": (
        steps("a: {tool: a.b, for_each: {x: 1}}"),
        "f.yaml:3:28: `for_each` is {'x': 1} (write a list, or an expression that gives one)",
    ),
    "agents that are no mapping": (
        "process: p\nagents: x\n" + steps("a: {tool: a.b}").partition("\n")[2],
        "f.yaml:2:9: `agents` is 'x' (write a mapping of keys and values)",
    ),
    "an expression without end": (
        steps('a: {tool: a.b, when: "${ ' + " && ".join(["true"] * 400) + ' }"}'),
        "f.yaml:3:28: `" + " && ".join(["true"] * 400) + "` is no CEL expression: it has 3196 characters; "
        "at most 2000 are taken (see https://cel.dev)",
    ),
    "a goal without means": (
        steps("a: {goal: be happy}"),
        "f.yaml:3:13: goal `a` has neither agents nor tools "
        "(grant what its plan may use: `agents: [...]`, `tools: [...]`)",
    ),
    "a goal with an agent that is not there": (
        steps("a: {goal: be happy, agents: [me]}"),
        "f.yaml:3:32: there is no agent `me` (there are none)",
    ),
    "a key that is missing": (
        "process: p\nagents: {x: {instructions: i}}\n" + steps("a: {agent: x}").partition("\n")[2],
        "f.yaml:4:6: `task` is missing (add it)",
    ),
    "no duration": (
        steps("a: {tool: a.b, timeout: 5 minutes}"),
        "f.yaml:3:27: '5 minutes' is no duration; write 90s, 15m, 4h, 3d or ISO 8601 such as PT15M",
    ),
    "a name that nothing has": (
        steps("a: {tool: a.b, with: {x: '${ inptu.x }'}}"),
        "f.yaml:3:32: unknown name `inptu` (in scope here: input, run, steps; text goes in quotes inside ${ })",
    ),
    "item without for_each": (
        steps("a: {tool: a.b, with: {x: '${ item }'}}"),
        "f.yaml:3:32: unknown name `item` (it is there under for_each only)",
    ),
    "item in for_each itself": (
        steps("a: {tool: a.b, for_each: '${ item }'}"),
        "f.yaml:3:32: unknown name `item` (it is there under for_each only)",
    ),
    "output where there is none yet": (
        steps("a: {tool: a.b, when: '${ output.x }'}"),
        "f.yaml:3:28: unknown name `output` (it is there in success, undo and repeat.until only)",
    ),
    "output in an approval": (
        steps("a: {approval: {title: '${ output }', from: [{any_of: ['user:x']}]}}"),
        "f.yaml:3:29: unknown name `output` (it is there in success, undo and repeat.until only)",
    ),
    "a step that does not exist": (
        steps("audit: {tool: a.b}", "b: {tool: a.b, with: {x: '${ steps.audti.output }'}}"),
        "f.yaml:4:32: there is no step `audti` (did you mean `audit`?)",
    ),
    "a need that does not exist": (
        steps("audit: {tool: a.b}", "b: {tool: a.b, needs: [audti]}"),
        "f.yaml:4:26: there is no step `audti` (did you mean `audit`?)",
    ),
    "the file's output from nowhere": (
        steps("audit: {tool: a.b}") + 'output: {x: "${ steps.audti.output }"}\n',
        "f.yaml:4:17: there is no step `audti` (did you mean `audit`?)",
    ),
    "a step inside a group, from outside": (
        steps("g: {steps: {i: {tool: a.b}}}", "b: {tool: a.b, with: {x: '${ steps.i.output }'}}"),
        "f.yaml:4:32: there is no step `i` (it is inside group `g`: write steps.g.output.i)",
    ),
    "steps by a computed name": (
        steps("a: {tool: a.b, with: {x: '${ steps[input.x].output }'}}"),
        "f.yaml:3:32: `steps` must be followed by a step's id (write steps.ID.output)",
    ),
    "an expression that is never closed": (
        steps("a: {tool: a.b, with: {x: '${ input.x'}}"),
        "f.yaml:3:29: `${` is never closed with `}` (close it, or write $${ for a literal ${)",
    ),
    "a step that needs itself": (
        steps("a: {tool: a.b, needs: [a]}"),
        "f.yaml:3:26: the needs go in a circle: a -> a (a step cannot need itself)",
    ),
    "a circle": (
        steps("a: {tool: a.b, needs: [c]}", "b: {tool: a.b, needs: [a]}", "c: {tool: a.b, needs: [b]}"),
        "f.yaml:4:26: the needs go in a circle: a -> c -> b -> a (remove one of these needs)",
    ),
    "a circle through a group": (
        steps("x: {tool: a.b, needs: [g]}", "g: {steps: {i: {tool: a.b, needs: [x]}}}"),
        "f.yaml:4:38: the needs go in a circle: x -> g -> g.i -> x (remove one of these needs)",
    ),
    "an unknown tool": (
        steps("a: {tool: mail.snd}"),
        "f.yaml:3:13: there is no tool `mail.snd` (did you mean `mail.send`?)",
    ),
    "an unknown undo tool": (
        steps("a: {tool: a.b, undo: {tool: bank.revers}}"),
        "f.yaml:3:31: there is no tool `bank.revers` (did you mean `bank.reverse`?)",
    ),
    "an unknown agent": (
        "process: p\nagents: {auditor: {instructions: i}}\nsteps:\n  a: {agent: auditro, task: t}\n",
        "f.yaml:4:14: there is no agent `auditro` (did you mean `auditor`?)",
    ),
    "an unknown process": (
        steps("a: {process: subb}"),
        "f.yaml:3:16: there is no process `subb` (did you mean `sub`?)",
    ),
    "a grant of nothing": (
        "process: p\nagents: {x: {instructions: i, tools: [mail.sendd]}}\nsteps:\n  a: {agent: x, task: t}\n",
        "f.yaml:2:39: no tool matches `mail.sendd` (did you mean `mail.send`?)",
    ),
    "an unknown argument": (
        steps("a: {tool: mail.send, with: {to: x, body: y, bdy: z}}"),
        "f.yaml:3:47: `mail.send` takes no argument `bdy` (did you mean `body`?)",
    ),
    "a missing argument": (
        steps("a: {tool: mail.send, with: {to: x}}"),
        "f.yaml:3:13: `mail.send` needs the argument `body` (give it in `with`)",
    ),
    "an argument of the wrong type": (
        steps("a: {tool: mail.send, with: {to: x, body: 5}}"),
        'f.yaml:3:44: argument `body` of `mail.send`: 5 is not of type "string" (see the tool\'s parameters)',
    ),
    "an undo's argument of the wrong type": (
        steps("a: {tool: a.b, undo: {tool: bank.reverse, with: {transfer: 1}}}"),
        'f.yaml:3:62: argument `transfer` of `bank.reverse`: 1 is not of type "string" (see the tool\'s parameters)',
    ),
    "an approver who is nobody": (
        steps("a: {approval: {title: t, from: [{any_of: [user:a], all_of: [user:b]}]}}"),
        "f.yaml:3:35: write exactly one of any_of and all_of",
    ),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_named_at_its_place_with_the_way_out(text: str, expected: str) -> None:
    assert mistakes(text) == [expected]


def test_a_schema_that_is_none_is_named_where_it_stands() -> None:
    found = mistakes("process: p\ninput: {type: nope}\nsteps:\n  a: {tool: a.b, output: {type: strng}}\n")
    assert [line.partition(": type")[0] for line in found] == [
        "f.yaml:2:8: `input` is no JSON Schema",
        "f.yaml:4:26: `output` is no JSON Schema",
    ]


@pytest.mark.parametrize("schema", ["{order: string}", "{order: {type: string}, amount: {type: number}}"])
def test_a_schema_without_a_word_of_json_schema_would_check_nothing_and_is_refused(schema: str) -> None:
    assert mistakes(f"process: p\ninput: {schema}\nsteps:\n  a: {{tool: a.b, output: {{x-unit: EUR}}}}\n") == [
        "f.yaml:2:8: `input` checks nothing: JSON Schema has no `order` (write type: object, properties: {order: ...}; "
        "see https://json-schema.org)"
    ]


def test_all_mistakes_come_at_once_in_the_order_of_their_places() -> None:
    found = mistakes(
        steps(
            "a: {tool: nope}",
            "b: {tool: a.b, wth: 1, with: {x: '${ foo }'}}",
            "g: {steps: {i: {tool: a.b, needs: [zz]}, j: {wait: soon}}}",
            "c: {tool: a.b, needs: [c]}",
        )
    )
    assert [line.split(": ")[0] for line in found] == [
        "f.yaml:3:13",
        "f.yaml:4:18",
        "f.yaml:4:40",
        "f.yaml:5:38",
        "f.yaml:5:54",
        "f.yaml:6:26",
    ]


def test_a_step_with_a_mistake_still_counts_as_known() -> None:
    found = mistakes(steps("a: {tool: a.b, wth: 1}", "b: {tool: a.b, needs: [a], with: {x: '${ steps.a.output }'}}"))
    assert [line.split(": ")[1] for line in found] == ["unknown key `wth` (did you mean `with`?)"]


def test_inside_a_group_a_name_is_looked_up_in_the_group_first() -> None:
    definition = load(
        steps(
            "a: {tool: a.b}",
            "o: {tool: a.b}",
            "g: {steps: {a: {tool: a.b}, i: {tool: a.b, with: {x: '${ steps.a.output }', y: '${ steps.o.status }'}}}}",
        )
    )
    group = definition.process.steps["g"]
    assert isinstance(group, GroupStep)
    assert group.needs == ()
    assert group.steps["i"].needs == ("a", "o")


def test_explicit_needs_come_first_and_none_comes_twice() -> None:
    text = "z: {tool: a.b, needs: [c, a], with: {x: '${ steps.a.output }', y: '${ steps.b.output }'}}"
    definition = load(steps("a: {tool: a.b}", "b: {tool: a.b}", "c: {tool: a.b}", text))
    assert definition.process.steps["z"].needs == ("c", "a", "b")


def test_what_a_file_leaves_out_is_left_out_of_the_definition() -> None:
    definition = load(steps("a: {tool: a.b}", "b: {tool: a.b, with: {x: '${ steps.a.output }'}}"))
    dumped = definition.model_dump(mode="json")["process"]
    assert dumped["steps"]["a"] == {"tool": "a.b"}
    assert dumped["steps"]["b"] == {"tool": "a.b", "with": {"x": "${ steps.a.output }"}, "needs": ["a"]}


def test_a_definition_is_the_same_after_a_round_trip() -> None:
    definition = load(WHOLE_FILE.read_text())
    assert Definition.model_validate_json(definition.model_dump_json()) == definition


def test_the_hash_changes_with_the_process_and_with_a_tool_it_uses() -> None:
    text = steps("a: {tool: a.b}")
    first = load(text)
    other_tool = {**TOOLS, "a.b": TOOLS["a.b"].model_copy(update={"description": "new"})}
    assert first.hash == load(text).hash
    assert first.hash != load(steps("a: {tool: a.b, description: new}")).hash
    assert first.hash != load_process(text, "f.yaml", tools=other_tool).hash


def needs_lists(size: int) -> st.SearchStrategy[list[set[int]]]:
    """For each step the earlier ones it needs: any DAG there is."""
    return st.tuples(*(st.sets(st.integers(0, max(0, at - 1)), max_size=at) for at in range(size))).map(list)


dags = st.integers(2, 12).flatmap(needs_lists)


def written(dag: list[set[int]], by_expression: bool) -> list[str]:
    lines = []
    for step, needs in enumerate(dag):
        names = [f"s{need}" for need in sorted(needs)]
        if by_expression:
            text = " ".join(f"${{ steps.{name}.output }}" for name in names)
            lines.append(f's{step}: {{tool: a.b, with: {{x: "{text}"}}}}')
        else:
            lines.append(f"s{step}: {{tool: a.b, needs: [{', '.join(names)}]}}")
    return lines


@settings(deadline=None, max_examples=50)
@given(dag=dags, by_expression=st.booleans())
def test_any_dag_loads_with_exactly_its_needs(dag: list[set[int]], by_expression: bool) -> None:
    definition = load(steps(*written(dag, by_expression)))
    found = {path[-1]: set(step.needs) for path, step in walk(definition.process.steps)}
    assert found == {f"s{step}": {f"s{need}" for need in needs} for step, needs in enumerate(dag)}


@settings(deadline=None, max_examples=50)
@given(dag=dags, by_expression=st.booleans(), data=st.data())
def test_a_circle_planted_in_any_dag_is_found(dag: list[set[int]], by_expression: bool, data: st.DataObject) -> None:
    # Along a chain every later step depends on every earlier one, so any need that goes forward closes a circle.
    chained = [needs | ({step - 1} if step else set()) for step, needs in enumerate(dag)]
    early = data.draw(st.integers(0, len(dag) - 1))
    chained[early].add(data.draw(st.integers(early, len(dag) - 1)))
    found = mistakes(steps(*written(chained, by_expression)))
    assert found
    for line in found:
        circle = line.partition("circle: ")[2].partition(" (")[0].split(" -> ")
        assert circle[0] == circle[-1]
        for step, need in pairwise(circle):
            assert int(need[1:]) in chained[int(step[1:])]
