"""How does plain data become a record without any guessing?

cattrs alone is lenient: it reads "7" as 7, a text as a tuple of letters, and skips keys it does not know. Here every
value must have exactly the declared type. Members of a union carry the key `type`, their class's name.
"""

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Literal, TypeAlias, Union, cast, get_args, get_origin

from attrs import Attribute, fields, has, resolve_types
from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from turnkeel_adapters.wire.faults import Refused, shape

TAG = "type"

Structure: TypeAlias = Callable[[object, object], object]
Unstructure: TypeAlias = Callable[[object], dict[str, object]]

_SCALARS: dict[object, str] = {int: "a whole number", str: "a text", bool: "true or false"}

# cattrs types these two by keywords that depend on the class at hand.
_reader = cast(Callable[..., Structure], make_dict_structure_fn)
_writer: Callable[..., Unstructure] = make_dict_unstructure_fn


def strict_converter(tagged: frozenset[type]) -> Converter:
    """A converter that guesses nothing; records of the classes `tagged` are written with their `type`."""
    converter = Converter(detailed_validation=True, forbid_extra_keys=True, unstruct_collection_overrides={tuple: list})
    for scalar in (int, str, bool):
        converter.register_structure_hook(scalar, _scalar(scalar))
    converter.register_structure_hook_factory(_is_choice, _choice)
    converter.register_structure_hook_factory(_is_tuple, _tuple)
    converter.register_structure_hook_factory(_is_record_union, _record_union)

    # Two declared parameters: cattrs tells by their number that a factory wants the converter.
    def record(cls: type, converter: Converter) -> Structure:
        return _record(cls, converter, tagged)

    def written(cls: type, converter: Converter) -> Unstructure:
        return _written(cls, converter, tagged)

    converter.register_structure_hook_factory(has, record)
    converter.register_unstructure_hook_factory(has, written)
    return converter


def union_members(annotation: object) -> frozenset[type]:
    """The record classes of every union of several records found in a type annotation."""
    args = get_args(annotation)
    records = frozenset(arg for arg in args if isinstance(arg, type) and has(arg))
    here = records if _is_union(annotation) and len(records) > 1 else frozenset[type]()
    return here.union(*(union_members(arg) for arg in args))


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _is_choice(cls: object) -> bool:
    """A Literal, or a union of several scalars; `X | None` is left to cattrs."""
    if get_origin(cls) is Literal:
        return True
    args = [arg for arg in get_args(cls) if arg is not NoneType]
    return _is_union(cls) and len(args) > 1 and all(arg in _SCALARS or get_origin(arg) is Literal for arg in args)


def _is_tuple(cls: object) -> bool:
    return get_origin(cls) is tuple and get_args(cls)[1:] == (Ellipsis,)


def _is_record_union(cls: object) -> bool:
    return _is_union(cls) and bool(union_members(cls)) and all(has(arg) for arg in get_args(cls))


def _scalar(cls: type) -> Structure:
    def structure(value: object, _: object) -> object:
        # `type is`, not isinstance: True is an int to Python, and to nobody who writes JSON.
        if type(value) is not cls:
            raise Refused(f"must be {_SCALARS[cls]}, not {shape(value)}")
        return value

    return structure


def _choice(cls: object, _: Converter) -> Structure:
    options = get_args(cls) if _is_union(cls) else (cls,)
    kinds: list[object] = [option for option in options if option in _SCALARS or option is NoneType]
    values = [value for option in options if get_origin(option) is Literal for value in get_args(option)]
    wanted = ", ".join([*map(repr, values), *(_SCALARS.get(kind, "null") for kind in kinds)])

    def structure(value: object, _: object) -> object:
        if type(value) in kinds or any(type(value) is type(known) and value == known for known in values):
            return value
        raise Refused(f"must be one of {wanted}, not {value!r:.80}")

    return structure


def _tuple(cls: object, converter: Converter) -> Structure:
    as_list = converter.get_structure_hook(list[get_args(cls)[0]])  # type: ignore[misc]  # a type known at run time

    def structure(value: object, _: object) -> object:
        if not isinstance(value, list):
            raise Refused(f"must be a list, not {shape(value)}")
        return tuple(as_list(value, list[get_args(cls)[0]]))  # type: ignore[misc]  # as above

    return structure


def _record_union(cls: object, converter: Converter) -> Structure:
    members = {member.__name__: member for member in get_args(cls)}

    def structure(value: object, _: object) -> object:
        name = _items(value).get(TAG)
        member = members.get(name) if isinstance(name, str) else None
        if member is None:
            raise Refused(f"the key {TAG!r} must be one of {', '.join(members)}, not {name!r:.80}")
        return converter.structure(value, member)

    return structure


def _record(cls: type, converter: Converter, tagged: frozenset[type]) -> Structure:
    resolve_types(cls)
    checked = {f.name: override(struct_hook=_checked(f, converter)) for f in fields(cls) if f.validator is not None}
    build = _reader(cls, converter, **checked)

    def structure(value: object, _: object) -> object:
        items = _items(value)
        name = items.pop(TAG, cls.__name__) if cls in tagged else cls.__name__
        if name != cls.__name__:
            raise Refused(f"the key {TAG!r} must be {cls.__name__!r} here, not {name!r:.80}")
        return build(items, cls)

    return structure


def _items(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Refused(f"must be an object, not {shape(value)}")
    return dict(cast(dict[str, object], value))


def _checked(field: "Attribute[object]", converter: Converter) -> Structure:
    """The field's own validator runs while the field is read, so that one bad value does not hide the next."""
    read = converter.get_structure_hook(field.type)

    def structure(value: object, _: object) -> object:
        done = read(value, field.type)
        try:
            if field.validator is not None:
                field.validator(None, field, done)
        except ValueError as error:
            raise Refused(str(error).removeprefix(f"'{field.name}' ")) from error
        return done

    return structure


def _written(cls: type, converter: Converter, tagged: frozenset[type]) -> Unstructure:
    resolve_types(cls)
    write = _writer(cls, converter)
    return (lambda record: {TAG: cls.__name__, **write(record)}) if cls in tagged else write
