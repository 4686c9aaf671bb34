"""A world of several actors who change the same folder at any moment, and the safety rules that
must hold in it whatever they do.
"""
