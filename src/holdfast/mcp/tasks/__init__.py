"""Tasks (extension `io.modelcontextprotocol/tasks`): calls that outlive their request, kept in the store."""
