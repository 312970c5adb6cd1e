"""Fine-tuning: training pairs, contrastive loss, ranks as subprocesses, resume.

`prepare.prepare_examples` turns a split into tokenised examples, `launch.train` trains on them.
"""
