"""Systems whose authors published code, simplified to audio and text."""
