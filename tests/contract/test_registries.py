"""What every registered entry declares, a new one included before anyone writes a test for it."""

import ast

import pytest

from adaptive_smoothing.core import options, registry
from adaptive_smoothing.core.errors import UserError
from adaptive_smoothing.pipeline.validation import validate_options

KINDS = tuple(registry.OPTIONS_CLASS)
ENTRIES = [(kind, name) for kind in KINDS for name in registry.names(kind)]


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_the_options_read_without_importing_equal_the_modules_own(kind, name):
    read = registry.options_class(kind, name)
    own = getattr(registry.load(kind, name), registry.OPTIONS_CLASS[kind])
    assert read.model_json_schema() == own.model_json_schema()
    assert issubclass(read, options.Strict)


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_an_unknown_option_is_refused_by_name(kind, name):
    with pytest.raises(UserError, match="unknown key 'no_such_option'"):
        validate_options(kind, name, {"no_such_option": 1}, "here")


@pytest.mark.parametrize(("kind", "name"), ENTRIES)
def test_every_file_opens_with_what_it_makes(kind, name):
    path = registry.path(kind, name)
    assert len(ast.get_docstring(ast.parse(path.read_text())) or "") > 40


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_name_lists_the_known_ones(kind):
    with pytest.raises(UserError, match=f"unknown {kind} 'nothing'.*{registry.names(kind)[-1]}"):
        registry.check(kind, "nothing", "here")
