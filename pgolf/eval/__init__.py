"""From weights and a token stream to a score: windows, evaluator, metric and the sealed process.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.eval.windows.WindowPlan``. Leaves:
``evaluation``, ``evaluator``, ``frames``, ``from_artifact``, ``metric``, ``network``, ``sample``, ``seal``,
``sealed``, ``sealed_child``, ``slots``, ``split``, ``windows``.
"""
