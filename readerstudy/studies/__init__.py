"""What a study is: people, subjects, sequences, arms, criteria, plan, and its life."""
