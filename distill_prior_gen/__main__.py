from distill_prior_gen.cli import cli

cli(prog_name="python -m distill_prior_gen")
