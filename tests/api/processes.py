"""Processes whose decisions the pages show."""

INVOICE = """
process: invoice
input: {type: object}
steps:
  sign_off:
    approval:
      title: Pay ${ input.amount } to ${ input.to }?
      show: {details: "${ input.show }"}
      from: [{any_of: ["group:finance"], count: 2}]
      not_by: [starter]
  pay: {tool: do.work, needs: [sign_off], with: {what: paid}}
output: ${ steps.sign_off.output }
"""
TRANSFER = """
process: transfer
input: {type: object}
steps:
  pay:
    tool: do.work
    with: {what: "${ input.what }"}
    approve:
      title: Pay?
      from: [{any_of: ["group:finance"]}]
"""
STAGED = """
process: staged
input: {type: object}
steps:
  sign_off:
    approval:
      title: Pay?
      from:
        - stages: [{any_of: ["group:controllers"]}, {any_of: ["user:cfo"]}]
"""
