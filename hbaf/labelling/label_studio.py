"""Label Studio: tasks to label, and what it exports (JSON) -> labels.

A task of ours is a conversation whose turns are paragraphs; choices, repeated or of single turns, are read too.

https://labelstud.io/guide/task_format
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from hbaf.corpus.annotations import content_of
from hbaf.labelling.given import Given, LabelFile
from hbaf.report.conversation import words_of

CHOICE = "emotion"  # the name of our labels
LABELS = "paragraphlabels"
NO_WORDS = "(no words)"
MOST_KEYS = 9
# In a `Repeater` the choices of the fourth turn are called `emotion_3`.
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
    if LABELS in value:
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


def tasks_of(conversations: Sequence[tuple[str, pd.DataFrame]]) -> list[dict[str, Any]]:
    """Tasks to import into Label Studio: a conversation each, with the model's predictions as pre-annotations.

    Args:
        conversations: why each was chosen (`chosen` or `random`), and its rows, scored or not.
    """
    tasks = []
    for part, rows in conversations:
        ordered: list[Any] = rows.sort_values("turn").to_dict("records")
        turns, predicted = list[dict[str, Any]](), list[dict[str, Any]]()
        for number, row in enumerate(ordered):
            speaker, text = (words_of(row.get(name)) for name in ("speaker", "text"))
            shown = text or NO_WORDS
            turns.append(
                {
                    "utterance_id": row["utterance_id"],
                    "speaker": speaker,
                    "text": shown,
                    "content": content_of(row),
                }
            )
            if label := words_of(row.get("label")):
                place = {"start": str(number), "end": str(number), "startOffset": 0, "endOffset": len(shown)}
                predicted.append(
                    {
                        "id": f"turn{number}",
                        "from_name": CHOICE,
                        "to_name": "turns",
                        "type": LABELS,
                        "value": {**place, "text": shown, LABELS: [label]},
                        "score": round(float(row["confidence"]), 4),
                    }
                )
        data = {"corpus": ordered[0]["corpus"], "dialogue_id": ordered[0]["dialogue_id"], "part": part, "turns": turns}
        task: dict[str, Any] = {"data": data}
        if predicted:
            score = sum(one["score"] for one in predicted) / len(predicted)
            version = next(words_of(row.get("model_version")) for row in ordered if words_of(row.get("label")))
            task["predictions"] = [{"model_version": version or "hbaf", "score": score, "result": predicted}]
        tasks.append(task)
    return tasks


def interface_of(emotions: Sequence[str]) -> str:
    """The labelling interface of a project for such tasks: the conversation, and a label for each turn, keys 1 to 9."""
    view = ElementTree.Element("View")
    labels = ElementTree.SubElement(view, "ParagraphLabels", name=CHOICE, toName="turns", choice="single")
    for number, emotion in enumerate(emotions, start=1):
        one = ElementTree.SubElement(labels, "Label", value=emotion)
        if number <= MOST_KEYS:
            one.set("hotkey", str(number))
    ElementTree.SubElement(
        view, "Paragraphs", name="turns", value="$turns", layout="dialogue", nameKey="speaker", textKey="text"
    )
    ElementTree.indent(view)
    return ElementTree.tostring(view, "unicode") + "\n"
