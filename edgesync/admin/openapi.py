"""`edgesync openapi`: the description of the API, as each server of this version has it."""

import json

import click

from cloud.rest.document import openapi_document
from cloud.rest.routes import ROUTES
from cloud.rest.typescript import typescript
from edgesync import version


@click.command()
@click.option(
    "--typescript", "as_types", is_flag=True, help="Types of TypeScript in place of JSON."
)
def openapi(*, as_types: bool) -> None:
    """Print the OpenAPI document of the REST API, or its types for TypeScript."""
    document = openapi_document(ROUTES, version=version())
    if as_types:
        click.echo(typescript(document), nl=False)
    else:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
