"""How do messages come in over HTTP, from programs that know the token?

It needs the extra `web`. `server` is what a host runs; `app` answers, `message` reads, `ports` says what is needed.
"""
