"""What happened, recorded so that no answer leaves without its entry and no entry can be changed unseen."""
