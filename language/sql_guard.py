"""What SQL a tool may run: one statement that only reads, with known functions; or, if declared so, that writes."""

from typing import Final

import sqlglot
import sqlglot.errors
from sqlglot import exp

MAX_LENGTH = 20_000

_READS = (exp.Select, exp.SetOperation, exp.Values, exp.Subquery)
_WRITES = (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Select, exp.SetOperation)

_FORBIDDEN: Final = (
    exp.DDL,
    exp.DML,
    exp.Command,
    exp.Create,
    exp.Drop,
    exp.Alter,
    exp.Attach,
    exp.Detach,
    exp.Pragma,
    exp.Copy,
    exp.Set,
    exp.Use,
    exp.LoadData,
    exp.Into,
    exp.Lock,
    exp.Transaction,
    exp.Commit,
    exp.Rollback,
    exp.Kill,
    exp.ReadCSV,
    exp.ReadParquet,
)

_COMPUTE = """
abs acos age array_agg asin atan avg bit_length bool_and bool_or btrim cardinality cbrt ceil ceiling
char_length chr coalesce concat concat_ws corr cos count cume_dist date date_part date_trunc datetime degrees
dense_rank div every exp first_value floor format glob greatest group_concat hex ifnull iif initcap instr json
json_agg json_array json_array_length json_build_array json_build_object json_each json_extract
json_extract_path json_extract_path_text json_group_array json_group_object json_object json_object_agg
json_type json_valid jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length
jsonb_build_object jsonb_each jsonb_extract_path_text jsonb_object_agg jsonb_object_keys jsonb_typeof
julianday justify_days lag last_value lead least left length ln log lower lpad ltrim make_date make_interval
max md5 median min mod mode month nth_value ntile nullif octet_length percent_rank percentile_cont
percentile_disc pi position power printf quote radians random rank regexp_count regexp_match regexp_matches
regexp_replace regexp_split_to_array regr_slope repeat replace reverse right round row_number rpad rtrim sign
sin split_part sqrt starts_with stddev strftime string_agg string_to_array strpos substr substring sum tan
time timediff to_char to_date to_number to_timestamp total trim trunc typeof unhex unicode unixepoch unnest
upper var_pop var_samp variance week year
"""
_KNOWN: Final = frozenset(_COMPUTE.split())
"""Functions that compute and nothing else, beside those that sqlglot knows as part of SQL."""


_LENGTHEN: Final = frozenset({"printf", "format", "repeat", "lpad", "rpad"})
_LENGTHEN_NODES: Final = (exp.Repeat, exp.Pad, exp.Format)
"""One call makes text of any length, in time and memory that no limit on statements holds."""


class SqlRefused(ValueError):
    """The statement must not be run; says why, for whoever wrote it."""


def parsed(sql: str, dialect: str | None) -> exp.Expression:
    """The one statement.

    Raises:
        SqlRefused: it is no SQL of the dialect, or several statements, or too long.
    """
    if len(sql) > MAX_LENGTH:
        raise SqlRefused(f"the statement has {len(sql):,} characters; at most {MAX_LENGTH:,}")
    if "\x00" in sql:
        raise SqlRefused("the statement has a NUL character")
    try:
        found = [tree for tree in sqlglot.parse(sql, read=dialect) if tree is not None]
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise SqlRefused(f"this is no SQL: {str(error).partition(chr(10))[0]}") from None
    if len(found) != 1:
        raise SqlRefused(f"{len(found)} statements; write one")
    tree = found[0]
    if not isinstance(tree, exp.Expression):
        raise SqlRefused("this is no statement")
    return tree


def readable(sql: str, dialect: str | None) -> exp.Expression:
    """The statement, when all it does is read.

    Raises:
        SqlRefused: it is not one statement, or could do more than read tables.
    """
    tree = parsed(sql, dialect)
    if not isinstance(tree, _READS):
        raise SqlRefused(f"{_kind(tree)} is not allowed; only SELECT is, with WITH and UNION")
    for node in tree.walk():
        if isinstance(node, _FORBIDDEN):
            raise SqlRefused(f"{_kind(node)} is not allowed; only SELECT is, with WITH and UNION")
        if isinstance(node, exp.Anonymous) and node.name.lower() not in _KNOWN:
            raise SqlRefused(f"the function {node.name} is not one that only computes")
        if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
            raise SqlRefused(f"the function {node.sql()} is not one that only computes")
        if isinstance(node, exp.Table):
            _check_table(node)
    return tree


def answerable(sql: str, dialect: str | None) -> exp.Expression:
    """`readable`, for a statement that nobody looked at beforehand."""
    tree = readable(sql, dialect)
    for node in tree.walk():
        is_named = isinstance(node, exp.Anonymous) and node.name.lower() in _LENGTHEN
        if is_named or isinstance(node, _LENGTHEN_NODES):
            raise SqlRefused(f"{node.sql()[:60]} makes text of any length; ask for the parts of it")
    return tree


def writable(sql: str, dialect: str | None) -> exp.Expression:
    """The statement, when it changes rows or reads them.

    Raises:
        SqlRefused: it is not one statement, or changes more than rows.
    """
    tree = parsed(sql, dialect)
    if not isinstance(tree, _WRITES):
        raise SqlRefused(f"{_kind(tree)} is not allowed; INSERT, UPDATE, DELETE and MERGE are")
    return tree


def as_checked(tree: exp.Expression, dialect: str | None) -> str:
    """The statement written out anew: what runs is what was understood, whatever the text it came from hid."""
    return tree.sql(dialect=dialect, comments=False)


def _check_table(table: exp.Table) -> None:
    name, schema = table.name.lower(), table.db.lower()
    if schema in ("pg_catalog", "pg_toast") or name.startswith("pg_"):
        raise SqlRefused(f"the system table {name} is not for tools")
    if isinstance(table.this, exp.Literal):
        raise SqlRefused("a file is no table")


def _kind(node: exp.Expr) -> str:
    return str(node.this) if isinstance(node, exp.Command) else type(node).__name__.upper()
