"""One way a file of telling odd images from good ones."""
