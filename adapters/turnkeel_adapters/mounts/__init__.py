"""Which further files of the machine does a container see, and where do they lead?"""
