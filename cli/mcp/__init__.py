"""The MCP server: agents use this scheduler through the official SDK, over HTTP or stdio. Needs the extra `mcp`.

Inside this package every import is absolute: `mcp` is the SDK, `cli.mcp` is ours.
"""
