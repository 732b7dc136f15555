"""From weights and a token stream to a score: plans, the loop and its coders, the metric and the sealed process.

Every module is a word of the command line, leaves apart. Contract: ``pgolf.eval.evaluation.Method``. Leaves:
``blocks``, ``coder``, ``comparison``, ``decoder``, ``encoder``, ``ending``, ``evaluation``, ``evaluator``, ``frames``,
``from_artifact``, ``home``, ``isolation``, ``led``, ``library``, ``links``, ``metric``, ``network``, ``rehearsal``,
``remote``, ``sample``, ``sampler``, ``scorer``, ``seal``, ``sealed_child``, ``sealed``, ``serve``, ``slots``,
``source``, ``split``, ``stage``, ``windows``, ``zygote``.
"""
