"""What stands between the host and one agent process, and outlives the host just long enough to end the agent?

The guard is a process of its own, started by `turnkeel_adapters.runners.guarded`. Python runs it without site
packages, so this package uses the standard library alone and imports itself relatively: there its name is `guard`.
"""
