"""Label Studio: what it exports (JSON) -> labels. A task is a conversation with a choice for each turn, or one turn.

https://labelstud.io/guide/task_format
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hbaf.labelling.given import Given, LabelFile

CHOICE = "emotion"  # the name of our choices: `emotion_3` is that of the fourth turn
_OF_TURN = re.compile(r"_(\d+)$")


def is_label_studio(found: object) -> bool:
    """Whether JSON is an export of Label Studio: a list of tasks with their data."""
    return isinstance(found, list) and bool(found) and all(isinstance(one, dict) and "data" in one for one in found)


def read_label_studio(name: str, tasks: Sequence[Mapping[str, Any]]) -> LabelFile:
    """The submitted annotations of an export; predictions that nobody submitted are no labels.

    Args:
        name: of the file, for messages.
    """
    read = LabelFile("Label Studio")
    for number, task in enumerate(tasks, start=1):
        where = f"{name}: task {task.get('id', number)}"
        annotations = task.get("annotations", task.get("completions")) or []
        if not annotations and task.get("predictions"):
            read.unchanged += sum(len(one.get("result") or ()) for one in _dicts(task["predictions"]))
        for annotation in _dicts(annotations):
            if not annotation.get("was_cancelled"):
                _add(read, where, _dict(task.get("data")), annotation)
    return read


def _add(read: LabelFile, where: str, data: Mapping[str, Any], annotation: Mapping[str, Any]) -> None:
    by, at = _person(annotation.get("completed_by")), str(annotation.get("updated_at") or annotation.get("created_at"))
    for result in _dicts(annotation.get("result") or ()):
        value = _dict(result.get("value"))
        kind = str(result.get("type"))
        chosen = value.get(kind)
        if not isinstance(chosen, list) or not chosen:
            continue  # relations, texts
        turn = _turn(data, result, value)
        if turn is None or len(chosen) > 1:
            rule = "several labels for one turn" if turn is not None else "no turn of the task"
            read.problems.append((where, rule, ", ".join(map(str, chosen))))
            continue
        read.taken_over += result.get("origin") == "prediction"
        read.given.append(
            Given(
                f"{where}, {result.get('from_name')}",
                str(chosen[0]),
                utterance_id=str(turn.get("utterance_id") or ""),
                dialogue=str(turn.get("dialogue_id") or data.get("dialogue_id") or ""),
                turn=str(turn.get("turn", "")),
                annotator=by,
                at="" if at == "None" else at,
                content=str(turn.get("content") or ""),
            )
        )


def _turn(data: Mapping[str, Any], result: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Which turn of a task's data a result is about: the task itself, one of its list, or a paragraph."""
    turns = next((each for each in data.values() if isinstance(each, list) and each and _dicts(each) == each), None)
    if turns is None:
        return data
    if "paragraphlabels" in value:
        first, last = str(value.get("start")), str(value.get("end"))
        number = first if first == last else ""
    else:
        match = _OF_TURN.search(str(result.get("from_name")))
        number = match[1] if match else ""
    return turns[int(number)] if number.isdecimal() and int(number) < len(turns) else None


def _person(completed_by: object) -> str:
    """The e-mail address or the number of who submitted it."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    return "" if completed_by is None else str(completed_by)


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(values: object) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list | tuple) else []
