"""An embedded Solana network for trying things out: a real SVM runtime behind JSON-RPC.

`network` is the chain, without any I/O; `methods`, with `parameters`, `encodings` and `errors`, and
`rpc` are the node in front of it, `faults` its misbehaviour, on request; `app` and `server` put it
on HTTP; `process` finds, by the file of `state`, or starts one that outlives whoever started it.
"""
