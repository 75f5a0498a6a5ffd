"""What every face that is reached over HTTP does before it looks at a request: origin, token, size of the body."""
