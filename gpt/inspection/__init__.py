"""Looking into a model and its training: `film` reads what gpt.train --record kept."""
