from txconnect import Allow, Deny, policyPlugin


@policyPlugin("example-only", "Allow example.com and what is below it.")
def exampleOnly(request):
    host = request.authority.host
    if host == "example.com" or host.endswith(".example.com"):
        return Allow()
    return Deny(f"{host} is not below example.com")
