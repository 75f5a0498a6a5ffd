"""Sessions at receivers: whose a call uses, where they are kept, what goes out with a call and what its answer means.

`scopes` decides, `kept` has the cookies of one scope, `nodes` stores them, `transport` puts them into calls, and
`deployment` is where a flow's messages, branches and channels meet.
"""
