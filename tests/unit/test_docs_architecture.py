"""docs/architecture.md names what the code has: every step, every transition of a job, every lock."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SOURCE: Final = ROOT / "src/leadhook"
MIGRATIONS: Final = ROOT / "migrations"
PAGE: Final = (ROOT / "docs/architecture.md").read_text()

MOST_STEPS: Final = 58
MOST_PYTHON_FILES: Final = 18
MOST_SQL_FUNCTIONS_OF_A_CLAIM: Final = 15
NO_JOB: Final = "none"

_FUNCTION: Final = re.compile(
    r"^create or replace function (?:leadhook|public)\.(?P<name>\w+)\((?P<head>.*?)^as \$\$\n(?P<body>.*?)^\$\$;",
    re.MULTILINE | re.DOTALL,
)
_STEP: Final = re.compile(r"^\d+\. `([\w/.]+):([\w.]+)`", re.MULTILINE)
_MOVES: Final = re.compile(
    r"\b(?:insert into|delete from) leadhook\.jobs\b"
    r"|\bupdate leadhook\.jobs as j\s+set\s(?:(?!\bwhere\b).)*?\bstate = ",
    re.DOTALL,
)


def section(mark: str) -> str:
    """The part of the page between two marks."""
    return PAGE.partition(f"<!-- {mark} -->")[2].partition(f"<!-- /{mark} -->")[0]


def rows(mark: str) -> list[list[str]]:
    """The cells of a table between two marks, without its head."""
    lines = [line for line in section(mark).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def words(cell: str) -> set[str]:
    return {word.strip(" `") for word in cell.split(",")}


@cache
def bodies() -> dict[str, str]:
    """The body of every SQL function, without comments, by its name."""
    texts = "\n".join(file.read_text() for file in sorted(MIGRATIONS.rglob("*.sql")))
    return {found["name"]: re.sub(r"--.*", "", found["body"]) for found in _FUNCTION.finditer(texts)}


@cache
def python_functions(file: Path) -> set[str]:
    """Every function of a file; a method stands behind its class."""

    def names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield prefix + node.name
            elif isinstance(node, ast.ClassDef):
                yield from names(node.body, f"{prefix}{node.name}.")

    return set(names(ast.parse(file.read_text()).body))


def called(name: str) -> set[str]:
    """This SQL function, and all that it may call."""
    seen: set[str] = set()
    left = [name]
    while left:
        function = left.pop()
        if function not in seen:
            seen.add(function)
            left += [
                found
                for found in re.findall(r"\b(?:leadhook|public)\.(\w+)\(", bodies()[function])
                if found in bodies()
            ]
    return seen


def locks(name: str) -> set[str]:
    """The advisory locks that an SQL function may take, by number."""
    return {
        n for function in called(name) for n in re.findall(r"advisory_xact_lock\(727201, (\d+)\)", bodies()[function])
    }


def exists(file: str, function: str) -> bool:
    if file.endswith(".sql"):
        path = MIGRATIONS / file
        return path.is_file() and function in {found["name"] for found in _FUNCTION.finditer(path.read_text())}
    return (SOURCE / file).is_file() and function in python_functions(SOURCE / file)


def test_every_step_of_one_leads_way_exists() -> None:
    steps = _STEP.findall(section("steps"))
    assert len(steps) == len(re.findall(r"^\d+\. ", section("steps"), re.MULTILINE)) > 40
    assert [f"{file}:{function}" for file, function in steps if not exists(file, function)] == []


def test_the_steps_are_numbered_in_order() -> None:
    """So that people can speak of step 22."""
    numbers = [int(number) for number in re.findall(r"^(\d+)\. ", section("steps"), re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_one_leads_way_does_not_grow() -> None:
    """More files to read need a reason; fewer make these limits smaller."""
    steps = _STEP.findall(section("steps"))
    claim = section("steps").partition("**The claim**")[2].partition("\n**")[0]
    assert len(steps) <= MOST_STEPS
    assert len({file for file, _ in steps if file.endswith(".py")}) <= MOST_PYTHON_FILES
    assert len([file for file, _ in _STEP.findall(claim) if file.endswith(".sql")]) <= MOST_SQL_FUNCTIONS_OF_A_CLAIM


def test_every_function_that_the_page_names_outside_the_steps_exists() -> None:
    """`file:function` in the text."""
    named = re.findall(r"`([\w/]+\.(?:py|sql)):([\w.]+)`", PAGE)
    assert len(named) > len(_STEP.findall(section("steps")))
    assert [f"{file}:{function}" for file, function in named if not exists(file, function)] == []


def test_the_transitions_have_every_state_of_the_table_and_no_other() -> None:
    """As the CHECK constraint of `leadhook.jobs` lists them."""
    jobs = re.search(r"create table if not exists leadhook\.jobs \(.*?\bstate in \(([^)]*)\)", everything(), re.DOTALL)
    assert jobs is not None
    states = set(re.findall(r"'(\w+)'", jobs[1]))
    left, entered = (set(chain.from_iterable(words(row[place]) for row in rows("transitions"))) for place in (0, 1))
    assert left == entered == states | {NO_JOB}
    diagram = set(
        re.findall(r"^  (\w+) --> |--> (\w+):", PAGE.partition("stateDiagram")[2].partition("```")[0], re.MULTILINE)
    )
    assert {state for pair in diagram for state in pair if state} == states


def everything() -> str:
    return "\n".join(file.read_text() for file in sorted(MIGRATIONS.rglob("*.sql")))


def test_the_transitions_name_every_function_that_moves_a_job_and_no_other() -> None:
    """That inserts or deletes a job, or sets its state."""
    documented = set(chain.from_iterable(words(row[2]) for row in rows("transitions")))
    assert documented == {name for name, body in bodies().items() if _MOVES.search(body)}


def test_the_locks_of_each_rpc_are_those_that_it_takes() -> None:
    """By all that it may call; what only reads is not in the table."""
    documented = {row[0].strip("`"): words(row[1]) - {"none"} for row in rows("locks")}
    rpcs = {name for name in bodies() if name.startswith("leadhook_")}
    assert set(documented) <= rpcs
    assert documented == {name: locks(name) for name in documented}
    assert {name for name in rpcs if locks(name)} <= set(documented)
