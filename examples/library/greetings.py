from aria_core import NodeOperationContext, operation


@operation
def rise(ctx: NodeOperationContext) -> None:
    ctx.node.attributes["news"] = f"The {ctx.node.name} is up."


@operation
def greet(ctx: NodeOperationContext, news: str) -> None:
    ctx.node.attributes["greeting"] = f"Hello, {ctx.node.name}! {news}"
