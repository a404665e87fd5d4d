"""Reading YAML that anybody may have written: what is wrong with it is one kind of error, and it cannot explode.

PyYAML's safe loader makes no objects of its own, but aliases let a few lines stand for billions of values, deep nesting
ends in a RecursionError, and some scalars (`2001-99-99`, `!!bool x`) raise whatever Python raises.
"""

from collections.abc import Iterator
from typing import Final

import yaml

MAX_VALUES: Final = 5_000_000
"""More values than a registry of 100,000 videos has, counted as if aliases were written out."""

MAX_DEPTH: Final = 100


def parse_yaml(text: str) -> object:
    """The value of one YAML document, made of dicts, lists, texts, numbers, dates and None.

    Raises:
        ValueError: it is no YAML, nested too deeply, refers to itself, or stands for too many values; in one line.
    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error


def _check(root: yaml.Node) -> None:
    """Count what aliases stand for without writing them out; raises ValueError."""
    sizes: dict[int, int] = {}
    stack: list[tuple[yaml.Node, Iterator[yaml.Node]]] = [(root, _children(root))]
    open_nodes = {id(root)}
    sizes[id(root)] = 1
    while stack:
        node, children = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            open_nodes.discard(id(node))
            if stack:
                sizes[id(stack[-1][0])] += sizes[id(node)]
        elif id(child) in open_nodes:
            raise ValueError("it refers to itself")
        elif id(child) in sizes:
            sizes[id(node)] += sizes[id(child)]
        else:
            sizes[id(child)] = 1
            open_nodes.add(id(child))
            stack.append((child, _children(child)))
        if len(stack) > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
        if sizes[id(node)] > MAX_VALUES:
            raise ValueError(f"it stands for more than {MAX_VALUES:,} values")


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
